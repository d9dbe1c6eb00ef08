{#- Comments of tables and columns as readers of the published file see them. What they say is in the models' yml.

    On DuckDB they are written at the end of a run, for all models that it built, in one transaction: model by model, each
    statement in a transaction of its own, they took a third of the time of small models. Whatever ends a run before that leaves
    models that the next one builds again. -#}

{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) %}{% endmacro %}

{#- Hook of dbt_project.yml. -#}
{% macro comment_on_built(results) %}{{ return(adapter.dispatch('comment_on_built', 'leverhouse')(results)) }}{% endmacro %}
{% macro default__comment_on_built(results) %}{% endmacro %}
{% macro duckdb__comment_on_built(results) -%}
    {%- set statements = [] -%}
    {%- set existing = {} -%}
    {%- set built = [] -%}
    {%- for result in results if result.status == 'success' and result.node.resource_type == 'model' -%}
        {%- if result.node.config.persist_docs and result.node.config.materialized != 'ephemeral' -%}
            {%- do built.append(result.node.to_dict()) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if built -%}
        {%- set query -%}
            select table_schema, table_name, column_name from information_schema.columns where table_catalog = current_database()
        {%- endset -%}
        {%- for row in run_query(query).rows -%}
            {%- do existing.update({row[0] ~ '.' ~ row[1] ~ '.' ~ row[2]: true}) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- for node in built -%}
        {%- set kind = 'view' if node.config.materialized == 'view' else 'table' -%}
        {%- do statements.append(
            'comment on ' ~ kind ~ ' ' ~ node.relation_name ~ ' is ' ~ duckdb_escape_comment(node.description)
        ) if node.description -%}
        {%- for name, column in node.columns.items() if node.schema ~ '.' ~ node.alias ~ '.' ~ name in existing -%}
            {%- do statements.append(
                'comment on column ' ~ node.relation_name ~ '.' ~ (adapter.quote(name) if column.quote else name) ~ ' is '
                ~ duckdb_escape_comment(column_comment(column))
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if statements -%}
        begin;
        {{ statements | join(';\n') }};
        commit;
    {%- endif -%}
{%- endmacro %}

{#- A column's description, followed by its unit and additivity, since the description does not repeat them. -#}
{% macro column_comment(column) -%}
    {%- set meta = column.get('config', {}).get('meta', {}) -%}
    {%- set higher = ', higher: ' ~ meta.orientation if meta.orientation else '' -%}
    {{- return(column.description ~ (' [' ~ meta.unit ~ ', ' ~ meta.additivity ~ higher ~ ']' if meta.unit else '')) -}}
{%- endmacro %}
