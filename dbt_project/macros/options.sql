{#- What option models share: the instant of expiry, Black-76, and reading a curve between two of its points. Not here:
    which curve, which target and which threshold a model asks for. -#}

{#- UTC instant at which an option settles. Deribit, OKX, Bybit and Binance all settle at 08:00. From that instant on
    the option is no position any more, whatever a chain still lists. -#}
{% macro option_expires_at(expiry_date) -%}
    cast({{ expiry_date }} as timestamp) + interval '{{ threshold('option_expiry_hour_utc') }}' hour
{%- endmacro %}

{#- Days from a capture to the settlement, as a double; above 0 for every option that is still a position. -#}
{% macro option_days_to_expiry(snapshot_at, expiry_date) -%}
    {{ seconds_between(snapshot_at, option_expires_at(expiry_date)) }} / 86400e0
{%- endmacro %}

{#- d1 of Black-76 (Black 1976) without a rate: (ln(F / K) + sigma^2 T / 2) / (sigma sqrt T), T in years of 365 days as
    Deribit counts them. Null where an input is missing or not above 0. -#}
{% macro black76_d1(forward, strike, iv, days) -%}
    case
        when {{ forward }} > 0 and {{ strike }} > 0 and {{ iv }} > 0 and {{ days }} > 0
            then
                (ln({{ forward }} / {{ strike }}) + {{ iv }} * {{ iv }} * ({{ days }} / 365e0) / 2)
                / ({{ iv }} * sqrt({{ days }} / 365e0))
    end
{%- endmacro %}

{#- Delta with respect to the forward, undiscounted and not adjusted for premium, as Deribit publishes it: N(d1) of a
    call, N(d1) - 1 of a put. -#}
{% macro black76_delta(option_type, d1) -%}
    {{ normal_cdf(d1) }} - case when {{ option_type }} = 'put' then 1 else 0 end
{%- endmacro %}

{#- Distribution function of the standard normal. Rational approximation of Hart (Computer Approximations, 1968, 5666)
    below 5 sqrt 2 and a continued fraction beyond, in the form West gave them (Better approximations to cumulative
    normal functions, 2005). Absolute error below 1e-14, relative error of the lower tail below 1e-8 down to -37, 0
    beyond; tests/dbt/test_options_marts.py holds it to that. -#}
{% macro normal_cdf(x) -%}
    case
        when {{ x }} is null then null
        when abs({{ x }}) > 37 then case when {{ x }} > 0 then 1e0 else 0e0 end
        when {{ x }} > 0 then 1e0 - {{ normal_tail(x) }}
        else {{ normal_tail(x) }}
    end
{%- endmacro %}

{#- Probability beyond |x| on one side, |x| <= 37. -#}
{% macro normal_tail(x) -%}
    {%- set above = [
        '0.0352624965998911e0', '0.700383064443688e0', '6.37396220353165e0', '33.912866078383e0', '112.079291497871e0',
        '221.213596169931e0', '220.206867912376e0',
    ] -%}
    {%- set below = [
        '0.0883883476483184e0', '1.75566716318264e0', '16.064177579207e0', '86.7807322029461e0', '296.564248779674e0',
        '637.333633378831e0', '793.826512519948e0', '440.413735824752e0',
    ] -%}
    case
        when abs({{ x }}) < 7.07106781186547e0
            then
                exp(-{{ x }} * {{ x }} / 2) * {{ horner(above, 'abs(' ~ x ~ ')') }}
                / {{ horner(below, 'abs(' ~ x ~ ')') }}
        else
            exp(-{{ x }} * {{ x }} / 2) / 2.506628274631e0
            / (
                abs({{ x }}) + 1 / (
                    abs({{ x }}) + 2 / (abs({{ x }}) + 3 / (abs({{ x }}) + 4 / (abs({{ x }}) + 0.65e0)))
                )
            )
    end
{%- endmacro %}

{#- A polynomial by its coefficients, highest power first. -#}
{% macro horner(coefficients, x) -%}
    {%- set built = namespace(sum=coefficients[0]) -%}
    {%- for coefficient in coefficients[1:] -%}
        {%- set built.sum = '(' ~ built.sum ~ ' * ' ~ x ~ ' + ' ~ coefficient ~ ')' -%}
    {%- endfor -%}
    {{- built.sum -}}
{%- endmacro %}

{#- An aggregate: y at `target` on the straight line between the points of the group next to it, the point itself where
    one lies there. Null where the points do not reach to both sides: nothing is extrapolated. The group has one point
    per x, and `target` is one value in it. -#}
{% macro interpolated_at(x, y, target) -%}
    {%- set nearest_below = 'max(' ~ x ~ ') filter (where ' ~ x ~ ' <= ' ~ target ~ ')' -%}
    {%- set nearest_above = 'min(' ~ x ~ ') filter (where ' ~ x ~ ' >= ' ~ target ~ ')' -%}
    {%- set y_below = 'max_by(' ~ y ~ ', ' ~ x ~ ') filter (where ' ~ x ~ ' <= ' ~ target ~ ')' -%}
    {%- set y_above = 'min_by(' ~ y ~ ', ' ~ x ~ ') filter (where ' ~ x ~ ' >= ' ~ target ~ ')' -%}
    case
        when {{ nearest_below }} = {{ nearest_above }} then {{ y_below }}
        else
            {{ y_below }}
            + ({{ y_above }} - {{ y_below }})
            * ({{ target }} - {{ nearest_below }}) / nullif({{ nearest_above }} - {{ nearest_below }}, 0)
    end
{%- endmacro %}
