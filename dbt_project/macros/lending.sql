{#- What a loan's liquidation is about. Amounts and prices are int_lending_legs_by_source's. -#}

{#- A whole query: the asset and side of each event of the legs in `relation`. A loan in dollars against a coin is a bet
    on the coin; a loan in a coin against dollars is a bet against it. -#}
{% macro lending_event_sides(relation) %}
    select
        c.source,
        c.chain,
        c.event_id,
        coalesce(c.asset, c.token) as asset,
        case
            when d.token is null then 'unknown'
            when d.asset_kind = 'stable' and c.asset is not null and coalesce(c.asset_kind, 'coin') <> 'stable'
                then 'long'
            when c.asset_kind = 'stable' and d.asset is not null and coalesce(d.asset_kind, 'coin') <> 'stable'
                then 'short'
            else 'unknown'
        end as side
    from {{ relation }} as c
    left join {{ relation }} as d
        on
            c.source = d.source
            and c.chain = d.chain
            and c.event_id = d.event_id
            and d.leg = 'debt'
    where c.leg = 'collateral'
{% endmacro %}

{#- A leg as a measure of liquidations. -#}
{% macro lending_measure(leg) -%}
    case {{ leg }} when 'collateral' then 'collateral_seized' else 'debt_repaid' end
{%- endmacro %}
