"""Markets of GMX: the index of each market token, and the decimals of each index.

Lists only, from GMX itself (gmx-interface's markets, gmx-synthetics' tokens). Liquidations in a market that is not listed
are quarantined until it is added here. Swap-only markets have no positions and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Markets = Mapping[str, Mapping[str, str]]
"""Chain → address in lower case → the market: index/USD, then the tokens that back longs and shorts."""

DECIMALS: Final = {
    "NEAR": 24,
    **dict.fromkeys(
        (
            "ETH", "UNI", "LINK", "ARB", "BNB", "AAVE", "AVAX", "OP", "GMX", "PEPE", "SHIB", "ORDI", "EIGEN", "POL",
            "APE", "SEI", "WLD", "MEME", "PENDLE", "RENDER", "FIL", "DYDX", "INJ", "ENA", "ANIME", "BERA", "LDO",
            "VIRTUAL", "ONDO", "FET", "AIXBT", "S", "CAKE", "MKR", "OM", "DOLO", "ZRO", "CRV", "PI", "PUMP", "MNT",
            "CVX", "OKB", "AERO", "BRETT", "WLFI", "MORPHO", "VVV", "WELL", "KTA", "ZORA"
        ), 18,
    ),
    "XMR": 12,
    "DOT": 10,
    **dict.fromkeys(("SOL", "SUI", "TAO", "TON", "FLOKI", "AI16Z"), 9),
    **dict.fromkeys(("BTC", "DOGE", "LTC", "APT", "BCH", "ICP", "HYPE", "SPX6900", "CRO", "HBAR", "KAS"), 8),
    "XLM": 7,
    **dict.fromkeys(
        (
            "XRP", "ATOM", "WIF", "STX", "SATS", "TIA", "TRX", "BOME", "ADA", "TRUMP", "MELANIA", "FARTCOIN", "PENGU",
            "JUP", "MOODENG", "ALGO"
        ), 6,
    ),
    **dict.fromkeys(("BONK", "MEW"), 5),
}  # fmt: skip
"""Decimals of an index by its symbol, the same on both chains."""

MARKETS: Final[Markets] = {
    "arbitrum": {
        "0x47c031236e19d024b42f8ae6780e44a573170703": "BTC/USD:WBTC.e-USDC",
        "0x70d95587d40a2caf56bd97485ab3eec10bee6336": "ETH/USD:WETH-USDC",
        "0x6853ea96ff216fab11d2d930ce3c508556a4bdc4": "DOGE/USD:WETH-USDC",
        "0x09400d9db990d5ed3f35d7be61dfaeb900af03c9": "SOL/USD:SOL-USDC",
        "0xd9535bb5f58a1a75032416f2dfe7880c30575a41": "LTC/USD:WETH-USDC",
        "0xc7abb2c5f3bf3ceb389df0eecd6120d451170b50": "UNI/USD:UNI-USDC",
        "0x7f1fa204bb700853d36994da19f830b6ad18455c": "LINK/USD:LINK-USDC",
        "0xc25cef6061cf5de5eb761b50e4743c1f5d7e5407": "ARB/USD:ARB-USDC",
        "0x0ccb4faa6f1f1b30911619f1184082ab4e25813c": "XRP/USD:WETH-USDC",
        "0x2d340912aa47e33c90efb078e69e70efe2b34b9b": "BNB/USD:BNB-USDC",
        "0x1cbba6346f110c8a5ea739ef2d1eb182990e4eb2": "AAVE/USD:AAVE-USDC",
        "0x248c35760068ce009a13076d573ed3497a47bcd4": "ATOM/USD:WETH-USDC",
        "0x63dc80ee90f26363b3fcd609007cc9e14c8991be": "NEAR/USD:WETH-USDC",
        "0x7bbbf946883a5701350007320f525c5379b8178a": "AVAX/USD:AVAX-USDC",
        "0x4fdd333ff9ca409df583f306b6f5a7ffde790739": "OP/USD:OP-USDC",
        "0x7c11f78ce78768518d743e81fdfa2f860c6b9a77": "BTC/USD:WBTC.e-WBTC.e",
        "0x450bb6774dd8a756274e0ab4107953259d2ac541": "ETH/USD:WETH-WETH",
        "0x55391d178ce46e7ac8eaaea50a72d1a5a8a622da": "GMX/USD:GMX-USDC",
        "0x2b477989a149b17073d9c9c82ec9cb03591e20c6": "PEPE/USD:PEPE-USDC",
        "0x0418643f94ef14917f1345ce5c460c37de463ef7": "WIF/USD:WIF-USDC",
        "0x0cf1fb4d1ff67a3d8ca92c9d6643f8f9be8e03e5": "ETH/USD:wstETH-USDe",
        "0xb62369752d8ad08392572db6d0cc872127888bed": "SHIB/USD:WETH-USDC",
        "0xd9377d9b9a2327c7778867203deea73ab8a68b6b": "STX/USD:WBTC.e-USDC",
        "0x93385f7c646a3048051914bdfac25f4d620aedf1": "ORDI/USD:WBTC.e-USDC",
        "0xd62068697bcc92af253225676d618b0c9f17c663": "BTC/USD:tBTC-tBTC",
        "0xd4b737892bab8446ea1e8bb901db092fb1ec1791": "EIGEN/USD:WETH-USDC",
        "0x8ea4fb801493dad8724f90fb2e279534fa591366": "SATS/USD:WBTC.e-USDC",
        "0xd0a1afdde31eb51e8b53bdce989eb8c2404828a4": "POL/USD:WETH-USDC",
        "0x77b2ec357b56c7d05a87971db0188dbb0c7836a5": "AAVE/USD:WETH-USDC",
        "0x0bb2a83f995e1e1eae9d7fdce68ab1ac55b2cc85": "PEPE/USD:WETH-USDC",
        "0xd8471b9ea126272e6d32b5e4782ed76db7e554a4": "UNI/USD:WETH-USDC",
        "0xdab21c4d1f569486334c93685da2b3f9b0a078e8": "APE/USD:APE-USDC",
        "0x6ecf2133e2c9751caadcb6958b9654bae198a797": "SUI/USD:WETH-USDC",
        "0xb489711b1cb86afda48924730084e23310eb4883": "SEI/USD:WETH-USDC",
        "0x66a69c8eb98a7efe22a22611d1967dfec786a708": "APT/USD:WETH-USDC",
        "0xbeb1f4ebc9af627ca1e5a75981ce1ae97efeda22": "TIA/USD:WETH-USDC",
        "0x3680d7bfe9260d3c5de81aeb2194c119a59a99d1": "TRX/USD:WETH-USDC",
        "0x15c6ebd4175fff9ee3c2615c556fcf62d2d9499c": "TON/USD:WETH-USDC",
        "0x872b5d567a2469ed92d252eacb0eb3bb0769e05b": "WLD/USD:WETH-USDC",
        "0xfac5ff56c269432706d47dc82ab082e9ae7d989e": "BONK/USD:WETH-USDC",
        "0xe55e1a29985488a2c8846a91e925c2b7c6564db1": "TAO/USD:WBTC.e-USDC",
        "0x71237f8c3d1484495a136022e16840b70ff84a69": "BOME/USD:WBTC.e-USDC",
        "0xfd46a5702d4d97ce0164375744c65f0c31a3901b": "FLOKI/USD:WBTC.e-USDC",
        "0x6cb901cc64c024c3fe4404c940ff9a3acc229d2c": "MEME/USD:WBTC.e-USDC",
        "0x71b7ff592a974e2b501d8a7a11f5c42dcd365244": "MEW/USD:WBTC.e-USDC",
        "0xbd48149673724f9caee647bb4e9d9ddaf896efeb": "GMX/USD:GMX-GMX",
        "0x784292e87715d93afd7cb8c941bacafaaa9a5102": "PENDLE/USD:PENDLE-USDC",
        "0xcacb964144f9056a8f99447a303e60b4873ca9b4": "ADA/USD:WBTC.e-USDC",
        "0x62feb8ec060a7de5b32bbbf4ac70050f8a043c17": "BCH/USD:WBTC.e-USDC",
        "0x7b2d09fca2395713dcc2f67323e4876f27b9ecb2": "DOT/USD:WBTC.e-USDC",
        "0xdc4e96a251ff43eeac710462cd8a9d18dc802f18": "ICP/USD:WBTC.e-USDC",
        "0xe902d1526c834d5001575b2d0ef901dfd0aa097a": "XLM/USD:WBTC.e-USDC",
        "0x4c505e0062459cf8f60fff13279c92ea15ae6e2d": "RENDER/USD:WETH-USDC",
        "0xf22cffa7b4174554ff9dbf7b5a8c01faadcea722": "SOL/USD:SOL-SOL",
        "0x262b5203f0fe00d9fe86ffece01d0f54fc116180": "FIL/USD:WBTC.e-USDC",
        "0x467c4a46287f6c4918ddf780d4fd7b46419c2291": "DYDX/USD:WBTC.e-USDC",
        "0x16466a03449cb9218eb6a980aa4a44aaced27c25": "INJ/USD:WBTC.e-USDC",
        "0xfec8f404fbca3b11afd3b3f0c57507c2a06de636": "TRUMP/USD:WETH-USDC",
        "0x12fd1a4bdb96219e637180ff5293409502b2951d": "MELANIA/USD:WETH-USDC",
        "0x9f159014cc218e942e9e9481742fe5bfa9ac5a2c": "ENA/USD:WETH-USDC",
        "0xd60f1ba6a76979effe706bf090372ebc0a5bf169": "AI16Z/USD:WBTC.e-USDC",
        "0x5707673d95a8fd317e2745c4217acd64ca021b68": "ANIME/USD:ANIME-USDC",
        "0xe2730ffe2136aa549327ebce93d58160df7821cb": "FARTCOIN/USD:WBTC.e-USDC",
        "0x876ff160d63809674e03f82dc4d3c3ae8b0acf28": "BERA/USD:WETH-USDC",
        "0xe61e608ba010ff48a7dce8edd8b906744263d33e": "LDO/USD:WETH-USDC",
        "0x75f190e0be6e8b933a01423efe398c6c721a5cff": "VIRTUAL/USD:WBTC.e-USDC",
        "0x0c11ed89889fd03394e8d9d685cc5b85be569c99": "PENGU/USD:WBTC.e-USDC",
        "0xa8a455ed94b315460cff7d96966d91330f6a3ba0": "ONDO/USD:WETH-USDC",
        "0x970e578ff01589bb470ce38a2f1753152a009366": "FET/USD:WETH-USDC",
        "0x04decfb37e46075189324817df80a32d22b9ed8d": "AIXBT/USD:WETH-USDC",
        "0x4d9ba415649c4b3c703562770c8ff3033478cea1": "S/USD:WBTC.e-USDC",
        "0xde967676db7b1ccdba2bd94b01b5b19de4b563e4": "CAKE/USD:WBTC.e-USDC",
        "0xbcb8fe13d02b023e8f94f6881cc0192fd918a5c0": "HYPE/USD:WBTC.e-USDC",
        "0x7de8e1a1fba845a330a6bd91118afda09610fb02": "JUP/USD:WBTC.e-USDC",
        "0x2ae5c5cd4843cf588aa8d1289894318130acc823": "MKR/USD:WETH-USDC",
        "0x89eb78679921499632ff16b1be3ee48295cfcd91": "OM/USD:WBTC.e-USDC",
        "0x4d3eb91efd36c2b74181f34b111bc1e91a0d0cb4": "DOLO/USD:WETH-USDC",
        "0x9e79146b3a022af44e0708c6794f03ef798381a5": "ZRO/USD:WETH-USDC",
        "0x0e46941f9bff8d0784bffa3d0d7883cdb82d7ae7": "CRV/USD:WETH-USDC",
        "0x2523b89298908fef4c5e5bd6f55f20926e22058f": "MOODENG/USD:WBTC.e-USDC",
        "0x7c54d547fad72f8afbf6e5b04403a0168b654c6f": "XMR/USD:WBTC.e-USDC",
        "0x39ac3c494950a4363d739201ba5a0861265c9ae5": "PI/USD:WBTC.e-USDC",
        "0x4c0bb704529fa49a26bd854802d70206982c6f1b": "PUMP/USD:WBTC.e-USDC",
        "0x8263bc3766a09f6dd4bab04b4bf8d45f2b0973ff": "SPX6900/USD:WETH-USDC",
        "0x40daeac02dcf6b3c51f9151f532c21dcef2f7e63": "MNT/USD:WETH-USDC",
        "0x672fea44f4583ddad620d60c1ac31021f47558cb": "ARB/USD:ARB-ARB",
        "0x3b7f4e4cf2fa43df013d2b32673e6a01d29ab2ac": "ALGO/USD:WBTC.e-USDC",
        "0xa29ffe4152b65a0347512ae5c6a4bbc7a3d6d51b": "CRO/USD:WBTC.e-USDC",
        "0x9f0849fb830679829d1fb759b11236d375d15c78": "HBAR/USD:WBTC.e-USDC",
        "0x41e3bc5b72384c8b26b559b7d16c2b81fd36fba2": "CVX/USD:WETH-USDC",
        "0x4024418592450e4d62fab15e2f833fc03a3447dc": "KAS/USD:WBTC.e-USDC",
        "0x2a331e51a3d17211852d8625a1029898450e539b": "OKB/USD:WETH-USDC",
        "0x3f649eab7f4ce4945f125939c64429be2c5d0cb4": "WIF/USD:WBTC.e-USDC",
        "0xfaeae570b07618d3f10360608e43c241181c4614": "AERO/USD:WETH-USDC",
        "0x6eee8098dbc106aede99763fa5f955a5bbc42c50": "BRETT/USD:WETH-USDC",
        "0xb3588455858a49d3244237cee00880ccb84b91dd": "WLFI/USD:WETH-USDC",
        "0xf913b4748031ef569898ed91e5ba0d602bb93298": "LINK/USD:WETH-USDC",
        "0x4de268ac68477f794c3eac5a419cbcffc2cd5e02": "MORPHO/USD:WETH-USDC",
        "0x947c521e44f727219542b0f91a85182193c1d2ad": "VVV/USD:WETH-USDC",
        "0x2347ebb8645cc2ea0ba92d1ec59704031f2fccf4": "WELL/USD:WETH-USDC",
        "0x970b730b5dd18de53a230ee8f4af088dbc3a6f8d": "KTA/USD:WETH-USDC",
        "0xac484106d935f0f20f1485b631fa6f65aeeff550": "ZORA/USD:WETH-USDC",
    },
    "avalanche": {
        "0xfb02132333a79c8b5bd0b64e3abcca5f7faf2937": "BTC/USD:BTC.b-USDC",
        "0xb7e69749e3d2edd90ea59a4932efea2d41e245d7": "ETH/USD:WETH.e-USDC",
        "0x8970b527e84aa17a33d38b65e9a5ab5817fc0027": "DOGE/USD:WAVAX-USDC",
        "0xd2efd1ea687cd78c41ac262b3bc9b53889ff1f70": "SOL/USD:SOL-USDC",
        "0xa74586743249243d3b77335e15fe768ba8e1ec5a": "LTC/USD:WAVAX-USDC",
        "0x913c1f46b48b3ed35e7dc3cf754d4ae8499f31cf": "AVAX/USD:WAVAX-USDC",
        "0xd1cf931fa12783c1dd5abb77a0706c27cf352f25": "XRP/USD:WAVAX-USDC",
        "0x3ce7bcdb37bf587d1c17b930fa0a7000a0648d12": "BTC/USD:BTC.b-BTC.b",
        "0x2a3cf4ad7db715df994393e4482d6f1e58a1b533": "ETH/USD:WETH.e-WETH.e",
        "0x08b25a2a89036d298d6db8a74ace9d1ce6db15e5": "AVAX/USD:WAVAX-WAVAX",
        "0xfb626c4e3e153947a6a94041814c25e449064dad": "TRUMP/USD:WAVAX-USDC",
        "0xe19da27bf9733c429445e289b662becdca6ce10b": "MELANIA/USD:WAVAX-USDC",
        "0x94ce6f65188a92f297c7f0a5a7b3cad9013450f8": "PUMP/USD:WAVAX-USDC",
        "0x1cb9932ce322877a2b86489bd1aa3c3cff879f0d": "WLFI/USD:WAVAX-USDC",
    },
}
"""Markets of v2, by market token."""

INDEX_TOKENS: Final[Markets] = {
    "arbitrum": {
        "0x82af49447d8a07e3bd95bd0d56f35241523fbab1": "ETH",
        "0x2f2a2543b76a4166549f7aab2e75bef0aefc5b0f": "BTC",
        "0xf97f4df75117a78c1a5a0dbb814af92458539fb4": "LINK",
        "0xfa7f8980b0f1e64a2062791cc3b0871572f1f7f0": "UNI",
    },
    "avalanche": {
        "0xb31f66aa3c1e785363f0875a1b74e27b85fd66c7": "AVAX",
        "0x49d5c2bdffac6ce2bfdb6640f4f80f226bc10bab": "ETH",
        # Bitcoin from two bridges; both are indices.
        "0x50b7545627a5162f82a992c33b87adc75187b218": "BTC",
        "0x152b9d0fdc40c096757f570a51e494bd4b943e50": "BTC",
    },
}
"""Indices of v1, by index token; all indices of a chain share one pool."""
