{#- Every row finds its partner in `to` on `columns`, optionally narrowed by `where`. -#}
{% test relationships_where(model, to, columns, where='true') %}
select {{ columns | join(', ') }}
from {{ model }} as child
where {{ where }}
    and not exists (
        select 1
        from {{ to }} as parent
        where
            {% for column in columns %}
            parent.{{ column }} = child.{{ column }}{{ ' and' if not loop.last }}
            {% endfor %}
    )
{% endtest %}
