"""A worked example for every built-in mapping: a small file after the vendor's format, and what a row of it becomes.

docs/mapping.md shows them, and tests/unit/test_files_vendors.py runs each.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

Example = tuple[str, str, tuple[str, dict[str, Any]]]
"""Name and text of the file, the table it feeds, and some columns of its row there."""

TARDIS: Final = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
EXAMPLES: Final[dict[str, Example]] = {
    "tardis": (
        "binance-futures_liquidations_2023-10-01_PERPETUALS.csv",
        TARDIS + "bybit,BTCUSD,1696118480000000,1696118480100000,,sell,25000,5000\n",
        ("liquidations", {"side": "long", "quantity_base": 0.2, "notional_usd": 5000.0}),
    ),
    "binance_vision": (
        "BTCUSDT-1h-2024-01-01.csv",
        "1704067200000,42000,42100,41900,42050.5,1000.5,1704070799999,42000000,5000,500.1,21000000,0\n",
        ("candles", {"instrument": "BTCUSDT", "period": "1h", "close": 42050.5, "trades": 5000}),
    ),
    "binance_vision_spot": (
        "BTCUSDT-1d-2025-01.csv",
        "1735689600000000,93500,95000,92800,94000.5,10,1735775999999999,940000,3,5,470000,0\n",
        ("candles", {"instrument": "BTCUSDT", "market": "spot", "opened_at": datetime(2025, 1, 1), "close": 94000.5}),
    ),
    "cryptodatadownload": (
        "Binance_BTCUSDT_1h.csv",
        (
            "https://www.CryptoDataDownload.com\nUnix,Date,Symbol,Open,High,Low,Close,Volume USDT,Volume BTC\n"
            "1502942400,2017-08-17 04-AM,BTC/USDT,4300,4400,4261,4308,190952,44.5\n"
        ),
        ("candles", {"venue": "binance", "instrument": "BTCUSDT", "volume_base": 44.5, "volume_quote": 190952.0}),
    ),
    "velo": (
        "rows.csv",
        (
            "exchange,coin,product,time,close_price,buy_liquidations_dollar_volume,sell_liquidations_dollar_volume\n"
            "bybit,BTC,BTCUSDT,1773104400000,68411.1,,5\n"
        ),
        ("liquidation_totals", {"long_usd": 5.0, "short_usd": 0.0, "total_usd": 5.0}),
    ),
    "laevitas": (
        "oi.csv",
        (
            "date,instrument,open_interest,mark_iv,mark_price,underlying_price\n"
            "2026-03-10 08:00:00,BTC-27MAR26-100000-C,1234.5,56.5,0.0012,68100.5\n"
        ),
        ("option_chain", {"strike": 100000.0, "option_type": "call", "oi_base": 1234.5, "mark_iv": 0.565}),
    ),
    "okx_recordings": (
        "okx.jsonl",
        (
            '{"event":"subscribe"}\n{"data":[{"details":[{"bkLoss":"0","bkPx":"50000","ccy":"","posSide":"short","side":"buy",'
            '"sz":"13","ts":"1773100805892"}],"instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP"}]}\n'
        ),
        ("liquidations", {"side": "short", "quantity_base": 0.13, "notional_usd": 6500.0}),
    ),
    "binance_recordings": (
        "um_a.jsonl",
        (
            '{"result":null,"id":1}\n{"ts":1,"msg":{"e":"forceOrder","o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"2",'
            '"p":"9","ap":"10","X":"FILLED","l":"2","z":"2","T":1773100804990}}}\n'
        ),
        ("liquidations", {"side": "long", "quantity_base": 2.0, "notional_usd": 20.0}),
    ),
    "bybit_recordings": (
        "allLiquidation.BTCUSDT.jsonl",
        (
            '{"success":true,"op":"pong"}\n{"topic":"allLiquidation.BTCUSDT","ts":1,"data":[{"T":1773100805600,"s":"BTCUSDT",'
            '"S":"Sell","v":"0.5","p":"10"}]}\n'
        ),
        ("liquidations", {"side": "short", "quantity_base": 0.5, "notional_usd": 5.0}),
    ),
    "binance_rest": (
        "BTCUSDT_openInterestHist_5m.json",
        '[{"symbol":"BTCUSDT","sumOpenInterest":"100.5","sumOpenInterestValue":"6834000","timestamp":"1773100800000"}]',
        ("open_interest", {"instrument": "BTCUSDT", "period": "5m", "oi_base": 100.5, "oi_usd": 6834000.0}),
    ),
    "ccxt": (
        "hyperliquid_funding_rate.json",
        '[{"symbol":"BTC/USDC:USDC","fundingRate":0.0000125,"timestamp":1773100800012,"info":{"x":[1]}}]',
        ("funding_rates", {"venue": "hyperliquid", "instrument": "BTC", "rate": 0.0000125, "interval_hours": 1.0}),
    ),
    "coinalyze": (
        "liquidation-history_1hour.json",
        '[{"symbol":"BTCUSDT.6","history":[{"t":1773100800,"l":7.5,"s":0},{"t":1773104400,"l":1,"s":1}]}]',
        ("liquidation_totals", {"venue": "bybit", "instrument": "BTCUSDT", "period": "1h", "long_usd": 7.5}),
    ),
    "amberdata": (
        "liquidations_btc.json",
        (
            '{"status":200,"payload":{"metadata":{},"data":[{"exchange":"binance","instrument":"BTCUSDT","exchangeTimestamp":'
            '1773100800000,"positionType":"long","side":"SELL","price":50000,"volume":0.5,"unit":"base_asset"}]}}'
        ),
        ("liquidations", {"side": "long", "quantity_base": 0.5, "notional_usd": 25000.0}),
    ),
    "coinglass": (
        "BTC_open_interest_4h.json",
        (
            '{"code":"0","msg":"success","data":[{"time":1773100800000,"open":"1","high":"9","low":"1","close":"8"},'
            '{"time":1773115200000,"open":"8","high":"8","low":"8","close":"8"}]}'
        ),
        ("open_interest", {"venue": "aggregate", "oi_usd": 8.0, "event_at": datetime(2026, 3, 10, 4)}),
    ),
    "dune": (
        "lending_supply.json",
        (
            '{"result":{"rows":[{"blockchain":"ethereum","project":"aave","version":"3","transaction_type":"deposit_liquidation",'
            '"token_address":"0xAB","amount":-2.5,"amount_usd":-5000,"block_time":"2023-04-19 05:00:00.000 UTC","tx_hash":"0x1",'
            '"evt_index":3,"project_contract_address":"0xCD"},{"blockchain":"ethereum","project":"aave","version":"3",'
            '"transaction_type":"deposit","token_address":"0xAB","amount":1,"amount_usd":1,"block_time":'
            '"2023-04-19 05:00:00.000 UTC","tx_hash":"0x2","evt_index":4,"project_contract_address":"0xCD"}]}}'
        ),
        ("lending_liquidations", {"protocol": "aave_v3", "collateral_token": "0xab", "collateral_usd": 5000.0}),
    ),
}
