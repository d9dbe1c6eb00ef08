{#- What a loan's liquidation is about. Amounts and prices are int_lending_legs_by_source's. -#}

{#- A whole query: the asset and side of each event of the legs in `relation`. A loan in dollars against a coin is a bet
    on the coin; a loan in a coin against dollars is a bet against it. One leg in dollars says so also where the other is a token
    that nobody registered; a claim on something unknown may be a claim on dollars and says nothing. -#}
{% macro lending_event_sides(relation) %}
    select
        c.source,
        c.chain,
        c.event_id,
        coalesce(c.asset, c.token) as asset,
        case
            when d.token is null then 'unknown'
            when d.asset_kind = 'stable' and coalesce(c.asset_kind, 'coin') not in ('stable', 'claim') then 'long'
            when c.asset_kind = 'stable' and coalesce(d.asset_kind, 'coin') not in ('stable', 'claim') then 'short'
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
