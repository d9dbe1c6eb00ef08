{#- The condition is true in every row; unknown (null) passes, as in a check constraint. -#}
{% test holds(model, condition) %}
select *
from {{ model }}
where not ({{ condition }})
{% endtest %}
