"""Addresses of the contracts whose events are read, by protocol and chain, and the token of a market where its events omit it.

Addresses only. Aave, Compound v3, Morpho, Maker, Liquity and Fluid: from their own deployment records. cTokens: from those of
Compound (compound-config), Venus (venus-protocol) and Moonwell (contracts-v2); Benqi's from its indexer. A market opened
later must be added here, unless a registry announces it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Contracts = Mapping[str, Mapping[str, str]]
"""Chain → contract → its token, in lower case. A token is an address, or a symbol if the record has no address; "" if the
events of the contract name their tokens."""

Units = Mapping[str, str]
"""Contract → the canonical ticker that its events state values in, where that is not the dollar."""

Registries = Mapping[str, tuple[str, ...]]
"""Chain → contracts trusted to announce further contracts, in lower case."""

AAVE_V1: Final[Contracts] = {"ethereum": {"0x398ec7346dcd622edc5ae82352f02be94c62d119": ""}}

AAVE_V2: Final[Contracts] = {
    "ethereum": {
        "0x7d2768de32b0b80b7a3454c06bdac94a69ddc7a9": "",  # AaveV2Ethereum
        "0x7937d4799803fbbe595ed57278bc4ca21f3bffcb": "",  # AaveV2EthereumAMM
    },
    "polygon": {
        "0x8dff5e27ea6b7ac08ebfdf9eb090f32ee9a30fcf": "",  # AaveV2Polygon
    },
    "avalanche": {
        "0x4f01aed16d97e3ab5ab2b501154dc9bb0f1a5a2c": "",  # AaveV2Avalanche
    },
}

AAVE_V3: Final[Contracts] = {
    "ethereum": {
        "0x87870bca3f3fd6335c3f4ce8392d69350b4fa4e2": "",  # AaveV3Ethereum
        "0x4e033931ad43597d96d6bcc25c280717730b58b1": "",  # AaveV3EthereumLido
        "0x0aa97c284e98396202b6a04024f5e2c65026f3c0": "",  # AaveV3EthereumEtherFi
        "0xae05cd22df81871bc7cc2a04becfb516bfe332c8": "",  # AaveV3EthereumHorizon
    },
    "arbitrum": {
        "0x794a61358d6845594f94dc1db02a252b5b4814ad": "",  # AaveV3Arbitrum
    },
    "optimism": {
        "0x794a61358d6845594f94dc1db02a252b5b4814ad": "",  # AaveV3Optimism
    },
    "base": {
        "0xa238dd80c259a72e81d7e4664a9801593f98d1c5": "",  # AaveV3Base
    },
    "polygon": {
        "0x794a61358d6845594f94dc1db02a252b5b4814ad": "",  # AaveV3Polygon
    },
    "avalanche": {
        "0x794a61358d6845594f94dc1db02a252b5b4814ad": "",  # AaveV3Avalanche
    },
    "bnb": {
        "0x6807dc923806fe8fd134338eabca509979a7e0cb": "",  # AaveV3BNB
    },
}

SPARK: Final[Contracts] = {"ethereum": {"0xc13e21b648a5ee794902342038ff3adab66be987": ""}}

# cToken → its underlying token.
COMPOUND_V2: Final[Contracts] = {
    "ethereum": {
        "0x12392f67bdf24fae0af363c24ac620a2f67dad86": "0x0000000000085d4780b73119b644ae5ecd22b376",
        "0xface851a4921ce59e912d19329929ce6da6eb0c7": "0x514910771af9ca656af840dff83e8264ecf986ca",
        "0xccf4429db6322d5c611ee964527d42e5d685dd6a": "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599",
        "0xc11b1268c1a384e55c48c2391d8d480264a3a7f4": "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599",
        "0x70e36f6bf80a52b3b46b3af8e106cc0ed743e8e4": "0xc00e94cb662c3520282e6f5717214004a7f26888",
        "0x39aa39c021dfbae8fac545936693ac917d5e7563": "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
        "0x5d3a536e4d6dbd6114cc1ead35777bab948e3643": "0x6b175474e89094c44da98b954eedeac495271d0f",
        "0xf650c3d88d12db855b8bf7d11be6c55a4e07dcc9": "0xdac17f958d2ee523a2206206994597c13d831ec7",
        "0x6c8c6b02e7b2be14d4fa6022dfd6d75921d90e4e": "0x0d8775f648430679a709e98d2b0cb6250d2887ef",
        "0x4ddc2d193948926d02f9b1fe9e1daa0718270ed5": "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
        "0x35a18000230da775cac24873d00ff85bccded550": "0x1f9840a85d5af5bf1d1762f925bdaddc4201f984",
        "0xf5dce57282a584d2746faf1593d3121fcac444dc": "0x89d24a6b4ccb1b6faa2625fe562bdd9a23260359",
        "0x158079ee67fce2f58472a96584a73c7ab9ac95c1": "0x1985365e9f78359a9b6ad760e32412f4a445e862",
        "0xb3319f5d18bc0d84dd1b4825dcde5d5f7266d407": "0xe41d2489571d322189246dafa5ebde1f4699f498",
        "0xe65cdb6479bac1e22340e4e755fae7e509ecd06c": "0x7fc66500c84a76ad7e9c93437bfc5ac33e2ddae9",
        "0x95b4ef2869ebd94beb4eee400a99824bf5dc325b": "0x9f8f72aa9304c8b593d555f12ef6589cc3a579a2",
        "0x80a2ae356fc9ef4305676f7a3e2ed04e12c33946": "0x0bc529c00c6401aef6d220be8c6ea1667f6ad93e",
        "0x4b0181102a0112a2ef11abee5563bb4a3176c9d7": "0x6b3595068778dd592e39a122f4f5a5cf09c90fe2",
        "0x041171993284df560249b57358f931d9eb7b925d": "0x8e870d67f660d95d5be530380d0ec0bd388289e1",
        "0x7713dd9ca933848f6819f38b8352d9a15ea73f67": "0x956f47f50a910163d8bf957cf5846d573e7f87ca",
    },
}

BENQI: Final[Contracts] = {
    "avalanche": {
        "0x5c0401e81bc07ca70fad469b451682c0d747ef1c": "avax",
        "0xf362fea9659cf036792c9cb02f8ff8198e21b4cb": "savax",
        "0x89a415b3d20098e6a6c8f7a59001c67bd3129821": "btc.b",
        "0xe194c4c5ac32a3c9ffdb358d9bfd523a0b6d1568": "wbtc.e",
        "0x334ad834cd4481bb02d09615e7c11a00579a7909": "weth.e",
        "0x4e9f683a27a6bdad3fc2764003759277e93696e6": "link.e",
        "0xc9e5999b8e75c3feb117f6f73e664b9f3c8ca65c": "usdt.e",
        "0xbeb5d47a3f720ec0a390d04b4d41ed7d9688bc7f": "usdc.e",
        "0xd8fcda6ec4bdc547c0827b8804e89acd817d56ef": "usdt",
        "0xb715808a78f6041e46d61cb123c9b4a27056ae9c": "usdc",
        "0x835866d37afb8cb8f8334dccdaf66cf01832ff5d": "dai.e",
        "0x872670ccae8c19557cc9443eff587d7086b8043a": "busd.e",
        "0x35bd6aeda81a7e5fc7a7832490e71f757b0cd9ce": "qi",
    },
}

VENUS: Final[Contracts] = {
    "bnb": {
        "0x26da28954763b92139ed49283625cecaf52c6f94": "0xfb6115445bff7b52feb98650c87f44907e58f802",
        "0x9a0af7fdb2065ce470d72664de73cae409da28ec": "0x3ee2200efb3400fabb9aacf31297cbdd1d435d47",
        "0x5f0388ebc2b94fa8e123f404b79ccf5f40b29176": "0x8ff795a6f4d97e7887c79bea79aba5cc76444adf",
        "0x972207a639cc1b374b893cc33fa251b55ceb7c07": "0x250632378e573c6be1ac2f97fcdf00515d0aa91b",
        "0xa07c5b74c9b40447a954e1466938b865b6bbea36": "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
        "0x882c173bc7ff3b7786ca16dfed3dfffb9ee7847b": "0x7130d2a12b9bcbfae4f2634d864a1ee1ce3ead9c",
        "0x95c78222b3d6e262426483d42cfa53685a67ab9d": "0xe9e7cea3dedca5984780bafc599bd69add087d56",
        "0x86ac3974e2bd0d60825230fa6f355ff11409df5c": "0x0e09fabb73bd3ade0a17ecc321fd13a19e81ce82",
        "0x334b3ecb4dca3593bccc3c7ebd1a1c1d1780fbf1": "0x1af3f329e8be154074d8769d1ffa4ee058b1dbc3",
        "0xec3422ef92b2fb59e84c8b02ba73f1fe84ed8d71": "0xba2ae424d960c26247dd6c32edc70b295c744c43",
        "0x1610bc33319e9398de5f57b33a5b184c806ad217": "0x7083609fce4d1d8dc0c979aab8c869ea2c873402",
        "0xf508fcd89b8bd15579dc79a6827cb4686a3592c8": "0x2170ed0880ac9a755fd29b2688956bd959f933f8",
        "0xc4ef4229fec74ccfe17b2bdef7715fac740ba0ba": "fdusd",
        "0xf91d58b5ae142dacc749f58a49fcbac340cb0343": "0x0d8ce2a99bb6e3b7db580ed848240e4a0f9ae153",
        "0x650b940a1033b8a1b1873f78730fcfc73ec11f1f": "link",
        "0x57a5297f2cb2c0aac9d554660acd6d385ab50c6b": "ltc",
        "0xb91a659e88b51474767cd97ef3196a3e7cedd2c8": "luna",
        "0x5c9476fcd6a4f9a3654139721c949c2233bbbbc8": "matic",
        "0x6d0cdb3355c93a0cd20071abbb3622731a95c73e": "pt-usde-30oct2025",
        "0x9e4e5fed5ac5b9f732d0d850a615206330bf1866": "pt-susde-26jun2025",
        "0xbf515ba4d1b52ffdceabf20d31d705ce789f2cec": "sol",
        "0x2ff3d0f6990a40261c66e1ff2017acbc282eb6d0": "0x47bead2563dcbf3bf2c9407fea4dc236faba485a",
        "0xf841cb62c19fcd4ff5cd0aab5939f3140baac3ea": "solvbtc",
        "0x86e06eafa6a1ea631eab51de500e3d474933739f": "the",
        "0xc5d3466aa484b040ee977073fcf337f2c00071c1": "0xce7de646e7208a4ef112cb6ed5038fa6cc6b12e3",
        "0x61edcfe8dd6ba3c891cb9bec2dc7657b3b422e93": "0x85eac5ac2f758618dfa09bdbe0cf174e7d574d5b",
        "0xbf762cd5991ca1dcddac9ae5c638f5b5dc3bee6e": "0x40af3827f39d0eacbf4a168f8d4ee67c121d11c9",
        "0x08ceb3f4a7ed3500ca0982bcd0fc7816688084c3": "0x14016e85a25aeb13065688cafb43044c2ef86784",
        "0x4d41a36d04d97785bcea57b057c412b278e6edcc": "twt",
        "0x3d5e269787d562b74acc55f18bd26c5d09fa245e": "u",
        "0x27ff564707786720c71a2e5c1490a63266683612": "uni",
        "0x0c1da220d301155b87318b90692da8dc43b67340": "usd1",
        "0xeca88125a5adbe82614ffc12d0db554e2e2867c8": "0x8ac76a51cc950d9822d68b83fe1ad97b32cd580d",
        "0xfd5840cd36d94d7229439859c0112a4185bc0255": "0x55d398326f99059ff775485246999027b3197955",
        "0x74ca6930108f775cc667894eea33843e691680d7": "usde",
        "0x78366446547d062f45b4c0f320cdaa6d710d87bb": "0x3d4350cd54aef9f9b2c29435e0fa809957b3f30a",
        "0x6cfdec747f37daf3b87a35a1d9c8ad3063a1a8a0": "0xa2e3356610840701bdf5611a53974510ae27e2e1",
        "0x6bca74586218db34cdb402295796b79663d816e9": "0xbb4cdb9cbd36b01bd1cbaebf2de08d9173bc095c",
        "0xb248a295732e0225acd3337607cc01068e3b9c10": "0x1d2f0da169ceb9fc7b3144628db156f3f6c60dbe",
        "0x151b1e2635a717bcdc836ecd6fbb62b674fe3e1d": "0xcf6bb5389c92bdda8a3747ddb454cb7a64626c63",
        "0xcc1db43a06d97f736c7b045aedd03c6707c09bdf": "asbnb",
        "0x689e0dab47ab16bcae87ec18491692bf621dc6ab": "lisusd",
        "0x699658323d58ee25c69f1a29d476946ab011bd18": "susde",
        "0x89c910eb8c90df818b4649b508ba22130dc73adc": "slisbnb",
        "0xd804de60afd05ee6b89aab5d152258fd461b07d5": "xsolvbtc",
    },
}

MOONWELL: Final[Contracts] = {
    "base": {
        "0x73b06d8d18de422e269645eace15400de7462417": "0x50c5725949a6f0c72e6c4a641f24049a917db0cb",
        "0x703843c3379b52f9ff486c9f5892218d2a065cc8": "0xd9aaec86b65d86f6a7b5b1b0c42ffa531710b6ca",
        "0xedc817a28e8b93b03976fbd4a3ddbc9f7d176c22": "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913",
        "0x628ff693426583d9a7fb391e54366292f509d457": "0x4200000000000000000000000000000000000006",
        "0x3bf93770f2d4a794c3d9ebefbaebae2a8f09a5e5": "0x2ae3f1ec7f1f5012cfeab0185bfc7aa3cf0dec22",
        "0x627fe393bc6edda28e99ae648fd6ff362514304b": "0xc1cba3fcea344f92d9239c08c0568f6f2f0ee452",
        "0xcb1dacd30638ae38f2b94ea64f066045b7d45f44": "0xb6fe221fe9eef5aba221c348ba20a1bf5e73624c",
        "0x73902f619ceb9b31fd8efecf435cbdf89e369ba6": "0x940181a94a35a4569e4529a3cdfb74e38fd98631",
        "0xb8051464c8c92209c92f3a4cd9c73746c4c3cfb3": "0x04c0599ae5a44757c0af6f9ec3b93da8976c150a",
        "0xf877acafa28c19b96727966690b2f44d35ad5976": "0xcbb7c0000ab88b473b1f5afd9ef808440eed33bf",
        "0xb682c840b5f4fc58b20769e691a6fa1305a501a2": "0x60a3e35cc302bfa44cb288bc5a4f316fdb1adb42",
        "0xfc41b49d064ac646015b459c522820db9472f4b5": "0xedfa23602d0ec14714057867a78d01e94176bea0",
    },
}

# Comet → its base token.
COMPOUND_V3: Final[Contracts] = {
    "arbitrum": {
        "0xa5edbdd9646f8dff606d7448e414884c7d905dca": "usdc.e",
        "0x9c4ec768c28520b50860ea7a15bd7213a9ff58bf": "usdc",
        "0xd98be00b5d27fc98112bde293e487f8d4ca57d07": "usdt",
        "0x6f7d514bbd4aff3bcd1140b7344b32f063dee486": "weth",
    },
    "base": {
        "0x784efeb622244d2348d4f2522f8860b96fbece89": "aero",
        "0x9c4ec768c28520b50860ea7a15bd7213a9ff58bf": "usdbc",
        "0xb125e6687d4313864e53df431d5425969c15eb2f": "usdc",
        "0x2c776041ccfe903071af44aa147368a9c8eea518": "usds",
        "0x46e6b214b524310239732d51387075e0e70970bf": "weth",
    },
    "ethereum": {
        "0xc3d688b66703497daa19211eedff47f25384cdc3": "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48",
        "0x5d409e56d886231adaf00c8775665ad0f9897b56": "0xdc035d45d973e3ec169d2276ddab16f1e407384f",
        "0x3afdc9bca9213a35503b077a6072f3d0d5ab0840": "0xdac17f958d2ee523a2206206994597c13d831ec7",
        "0xe85dc543813b8c2cfeaac371517b925a166a9293": "0x2260fac5e5542a773aa44fbcfedf7c193bc2c599",
        "0xa17581a9e3356d9a858b789d68b4d866e593ae94": "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2",
        "0x3d0bb1ccab520a66e607822fc55bc921738fafe3": "0x7f39c581f595b53c5cb19bd0b3f8da6c935e2ca0",
    },
    "optimism": {
        "0x2e44e174f7d53f0212823acc11c01a11d58c5bcb": "usdc",
        "0x995e394b8b2437ac8ce61ee0bc610d617962b214": "usdt",
        "0xe36a30d249f7761327fd973001a32010b521b6fd": "weth",
    },
    "polygon": {
        "0xf25212e676d1f7f89cd72ffee66158f541246445": "usdc",
        "0xaeb318360f27748acb200ce616e389a6c9409a07": "usdt",
    },
}

# Comets whose events state values in something else than dollars, by the feeds of their configurations. cWstETHv3 counts
# wstETH: its collateral's feeds are in it, and its base feed is a constant.
COMPOUND_V3_UNITS: Final[Units] = {
    "0xa17581a9e3356d9a858b789d68b4d866e593ae94": "ETH",  # cWETHv3 on ethereum
    "0x3d0bb1ccab520a66e607822fc55bc921738fafe3": "WSTETH",  # cWstETHv3 on ethereum
    "0xe85dc543813b8c2cfeaac371517b925a166a9293": "BTC",  # cWBTCv3 on ethereum
    "0x6f7d514bbd4aff3bcd1140b7344b32f063dee486": "ETH",  # cWETHv3 on arbitrum
    "0x46e6b214b524310239732d51387075e0e70970bf": "ETH",  # cWETHv3 on base
    "0xe36a30d249f7761327fd973001a32010b521b6fd": "ETH",  # cWETHv3 on optimism
}

MORPHO_BLUE: Final[Contracts] = {
    "ethereum": {
        "0xbbbbbbbbbb9cc5e90e3b3af64bdaf62c37eeffcb": "",
    },
    "base": {
        "0xbbbbbbbbbb9cc5e90e3b3af64bdaf62c37eeffcb": "",
    },
    "polygon": {
        "0x1bf0c2541f820e775182832f06c0b7fc27a25f67": "",
    },
    "arbitrum": {
        "0x6c247b1f6182318877311737bac0844baa518f5e": "",
    },
    "optimism": {
        "0xce95afbb8ea029495c66020883f87aae8864af92": "",
    },
}

# Two Cats until April 2021, the Dog since.
MAKER: Final[Contracts] = {
    "ethereum": {
        "0x78f2c2af65126834c51822f56be0d7469d7a523e": "",
        "0xa5679c04fc3d9d8b0aab1f0ab83555b301ca70ea": "",
        "0x135954d155898d42c90d2a57824c690e0c7bef1b": "",
    }
}

LIQUITY_V1: Final[Contracts] = {"ethereum": {"0xa39739ef8b0231dbfa0dcda07d7e29faabcf4bb2": ""}}

# Trove manager → its collateral token. The trove manager of rETH is not on record.
LIQUITY_V2: Final[Contracts] = {
    "ethereum": {
        "0x7bcb64b2c9206a5b699ed43363f6f98d4776cf5a": "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2",
        "0xa2895d6a3bf110561dfe4b71ca539d84e1928b22": "0x7f39c581f595b53c5cb19bd0b3f8da6c935e2ca0",
    },
}

# Vault factories; they also announce the vaults.
EULER_V2: Final[Contracts] = {
    "ethereum": {"0x29a56a1b8214d9cf7c5561811750d5cbdb45cc8e": ""},
    "base": {"0x7f321498a801a191a93c840750ed637149ddf8d0": ""},
}

# The vault factory, which announces the vaults, and the liquidity layer under all vaults.
_FLUID: Final = {
    "0x324c5dc1fc42c7a4d43d92df1eba58a54d13bf2d": "",
    "0x52aa899454998be5b000ad077a46bbe360f4e497": "",
}
FLUID: Final[Contracts] = dict.fromkeys(("ethereum", "arbitrum", "base"), _FLUID)

# Comptrollers.
BENQI_REGISTRIES: Final[Registries] = {"avalanche": ("0x486af39519b4dc9a7fccd318217352830e8ad9b4",)}
VENUS_REGISTRIES: Final[Registries] = {"bnb": ("0xfd36e2c2a6789db23113685031d7f16329158384",)}
MOONWELL_REGISTRIES: Final[Registries] = {
    "base": ("0xfbb21d0380bee3312b33c4353c8936a0f13ef26c",),
    "optimism": ("0xca889f40aae37fff165bccf69aef1e82b5c511b9",),
}

# On bnb the pool registry, which announces the markets of all isolated pools; elsewhere the comptroller of the core pool.
VENUS_ISOLATED_REGISTRIES: Final[Registries] = {
    "bnb": ("0x9f7b01a536afa00ef10310a162877fd792cd0666",),
    "ethereum": ("0x687a01ecf6d3907658f7a7c714749fac32336d1b",),
    "arbitrum": ("0x317c1a5739f39046e20b08ac9beea3f10fd43326",),
    "optimism": ("0x5593ff68be84c966821eef5f0a988c285d5b7cec",),
    "base": ("0x0c7973f9598aa62f9e03b94e92c967fd5437426c",),
}

# GMX, by chain: v1's Vault, and v2's EventEmitter, which emits all events of a chain.
GMX_V1_VAULTS: Final = {
    "arbitrum": "0x489ee077994b6658eafa855c308275ead8097c4a",
    "avalanche": "0x9ab2de34a33fb459b538c43f251eb825645e8595",
}
GMX_V2_EVENT_EMITTERS: Final = {
    "arbitrum": "0xc8ee91a54287db53897056e12d9819156d3822fb",
    "avalanche": "0xdb17b211c34240b014ab6d61d4a31fa0c0e20c26",
}
