with registry as (
    select * from {{ ref('token_registry') }}
),

receipts as (
    select * from {{ ref('receipt_tokens') }}
),

-- What contracts said of themselves last.
reads as (
    select
        chain,
        token,
        symbol,
        decimals,
        underlying_token
    from {{ ref('stg_tokens') }}
    qualify row_number() over (partition by chain, token order by named_at desc, read_at desc, source asc) = 1
),

known as (
    select
        chain,
        token
    from registry
    union
    select
        chain,
        token
    from receipts
    union
    select
        chain,
        token
    from reads
)

-- What the seeds say by hand stands. Which asset a token is, only they say: anyone may call a token anything.
select
    k.chain,
    k.token,
    coalesce(g.symbol, r.symbol) as symbol,
    g.asset,
    coalesce(g.decimals, r.decimals) as decimals,
    g.kind,
    g.is_stable,
    coalesce(c.underlying_token, case when g.token is null then r.underlying_token end) as underlying_token,
    g.token is not null as is_registered
from known as k
left join registry as g on k.chain = g.chain and k.token = g.token
left join receipts as c on k.chain = c.chain and k.token = c.token
left join reads as r on k.chain = r.chain and k.token = r.token
