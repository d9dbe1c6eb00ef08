{#- Scaled instruments: one unit of 1000PEPE is 1000 PEPE. Prices are per unit of the asset, amounts in its units. -#}
{% macro asset_price(price, multiplier) -%}
    {{ price }} / {{ multiplier }}
{%- endmacro %}

{% macro asset_amount(amount, multiplier) -%}
    {{ amount }} * {{ multiplier }}
{%- endmacro %}
