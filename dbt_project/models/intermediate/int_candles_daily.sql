with instruments as (
    select * from {{ ref('int_instruments') }}
),

dollars as (
    select asset from {{ ref('assets') }}
    where kind = 'stable'
),

chosen as (
    {{ best_source_of_day(ref('int_candles_by_source'), ['venue', 'instrument', 'market'], 'periods_present') }}
),

in_asset_units as (
    select
        c.venue,
        c.instrument,
        c.market,
        i.asset,
        d.asset is not null as is_quoted_in_dollars,
        {{ asset_price('c.close', 'i.multiplier') }} as close_quote,
        {{ asset_price('c.high', 'i.multiplier') }} as high_quote,
        {{ asset_price('c.low', 'i.multiplier') }} as low_quote,
        {{ asset_amount('c.volume_base', 'i.multiplier') }} as volume_base,
        coalesce(c.volume_quote, c.volume_base * c.close) as volume_quote,
        {{ asset_amount('c.taker_buy_base', 'i.multiplier') }} as taker_buy_base,
        c.taker_buy_quote,
        c.closed_at,
        coalesce(c.volume_base = 0 and (c.high = c.low or c.high is null), false) as is_stale,
        i.life,
        c.period,
        c.day_completeness,
        c.source,
        c.available_at,
        c.trade_date
    from chosen as c
    inner join instruments as i
        on
            c.venue = i.venue
            and c.instrument = i.instrument
            and c.trade_date >= i.valid_from
            and c.trade_date < i.valid_to
    left join dollars as d on i.quote = d.asset
)

select
    venue,
    instrument,
    market,
    asset,
    case when is_quoted_in_dollars then close_quote end as close_usd,
    case when is_quoted_in_dollars then high_quote end as high_usd,
    case when is_quoted_in_dollars then low_quote end as low_usd,
    volume_base,
    case when is_quoted_in_dollars then volume_quote end as volume_usd,
    taker_buy_base,
    case when is_quoted_in_dollars then taker_buy_quote end as taker_buy_usd,
    closed_at,
    is_stale,
    life,
    period,
    day_completeness,
    source,
    available_at,
    trade_date
from in_asset_units
