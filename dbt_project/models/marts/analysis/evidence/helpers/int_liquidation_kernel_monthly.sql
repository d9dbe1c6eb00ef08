{{ config(materialized='view') }}

select
    asset,
    side,
    class_no,
    valid_from,
    distance,
    opening_weight,
    beta,
    beta_distance,
    phi,
    calibration_factor,
    calibration_distance,
    training_days,
    training_rows,
    feed_completeness,
    available_at
from {{ source('stats', 'liquidation_kernel_monthly') }}
