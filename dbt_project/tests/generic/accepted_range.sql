{#- Known values lie in [at_least, at_most]; with strictly, the ends are excluded. -#}
{% test accepted_range(model, column_name, at_least=none, at_most=none, strictly=false) %}
select {{ column_name }}
from {{ model }}
where {{ column_name }} is not null
    and not (
        true
        {%- if at_least is not none %} and {{ column_name }} {{ '>' if strictly else '>=' }} {{ at_least }}{% endif %}
        {%- if at_most is not none %} and {{ column_name }} {{ '<' if strictly else '<=' }} {{ at_most }}{% endif %}
    )
{% endtest %}
