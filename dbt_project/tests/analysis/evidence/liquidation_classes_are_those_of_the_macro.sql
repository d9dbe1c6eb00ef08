-- Levels are summed by class in columns, whose distances a macro holds. Classes of which the seed says otherwise.
with compiled as (
    {%- for distance in liquidation_distances() %}
    select
        {{ loop.index }} as class_no,
        {{ number_literal(distance) }} as distance
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)

select
    compiled.class_no as compiled_class,
    seeded.class_no as seeded_class
from compiled
full outer join {{ ref('liquidation_classes') }} as seeded
    on compiled.class_no = seeded.class_no and compiled.distance = seeded.distance
where compiled.class_no is null or seeded.class_no is null
