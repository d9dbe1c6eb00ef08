{#- At least the fraction `at_least` of the rows knows the column; an empty table passes. -#}
{% test not_null_proportion(model, column_name, at_least) %}
select
    count(*) as row_count,
    count({{ column_name }}) as known
from {{ model }}
having count({{ column_name }}) < {{ at_least }} * count(*)
{% endtest %}
