"""Money: the minor units of each currency, and the one place that rounds."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Final, TypeAlias

# ISO 4217 list one (SIX, the maintenance agency), edition of 2026-01-01. Codes without a minor unit (gold, XDR, the
# test codes) are left out: nothing can be priced in them. CLDR, and so Babel, rounds to what is customary in cash
# instead (ALL, IQD, LBP to 0 decimals), which is not what an invoice may do; and a package of the list would need an
# installation, where these rules need none, and drop a withdrawn currency while the invoices in it stay.
_DECIMALS_OTHER_THAN_TWO: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_TWO_DECIMALS: Final = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP
    COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR
    JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN
    NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL
    THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""

Amount: TypeAlias = Decimal | Fraction | int

#: Decimals of every currency that something can be priced in, by ISO 4217 code.
CURRENCY_DECIMALS: Final[Mapping[str, int]] = MappingProxyType(
    dict.fromkeys(_TWO_DECIMALS.split(), 2)
    | {code: decimals for decimals, codes in _DECIMALS_OTHER_THAN_TWO.items() for code in codes.split()}
)

#: An amount is at most this many major units: so in minor units it fits 64 bits, and a sum fits Decimal's 28 digits.
AMOUNT_BOUND: Final = 10**14
_MOST_DECIMALS: Final = 40
_OUT_OF_BOUNDS: Final = f"an amount lies within ±{AMOUNT_BOUND}"


class UnknownCurrency(ValueError):
    """The code is not one of ISO 4217 with a minor unit."""


def minor_units(currency: str) -> int:
    """Decimals of the currency: 2 for USD, 0 for JPY, 3 for KWD. Raises UnknownCurrency."""
    try:
        return CURRENCY_DECIMALS[currency]
    except KeyError:
        raise UnknownCurrency(f"unknown currency {currency!r}; give an ISO 4217 code, such as USD") from None


def _in_minor_units(amount: Amount, currency: str) -> Fraction:
    if not isinstance(amount, Amount):
        raise TypeError(f"{amount!r} is a {type(amount).__name__}; give money as Decimal, Fraction or int")
    if isinstance(amount, Decimal):
        exponent = amount.as_tuple().exponent
        if not isinstance(exponent, int):
            raise ValueError(f"{amount} is not an amount of money")
        # As a fraction, 1E-999999999 would fill the memory.
        if exponent < -_MOST_DECIMALS:
            raise ValueError(f"an amount has at most {_MOST_DECIMALS} decimals")
    if not -AMOUNT_BOUND <= amount <= AMOUNT_BOUND:
        raise ValueError(_OUT_OF_BOUNDS)
    return Fraction(amount) * _minor_per_major(currency)


def _minor_per_major(currency: str) -> int:
    return int("1" + "0" * minor_units(currency))


def is_exact(amount: Amount, currency: str) -> bool:
    """Whether the currency can express the amount without rounding."""
    return _in_minor_units(amount, currency).denominator == 1


def round_money(amount: Amount, currency: str) -> Decimal:
    """Half up to the currency's minor unit; below zero half away from zero, as Decimal's ROUND_HALF_UP.

    So a refund rounds to the same digits as the charge that it takes back. Never gives a negative zero.
    """
    minor = _in_minor_units(amount, currency)
    magnitude = int(abs(minor) + Fraction(1, 2))
    return from_minor(magnitude if minor > 0 else -magnitude, currency)


def to_minor(amount: Amount, currency: str) -> int:
    """The amount in minor units (cents, fils, yen). Raises ValueError rather than round."""
    minor = _in_minor_units(amount, currency)
    if minor.denominator != 1:
        raise ValueError(f"{amount} has more decimals than the {minor_units(currency)} of {currency}")
    return minor.numerator


def from_minor(minor: int, currency: str) -> Decimal:
    """The Decimal with exactly the currency's decimals: 1000 is 10.00 USD, 1000 JPY and 1.000 KWD."""
    if abs(minor) > AMOUNT_BOUND * _minor_per_major(currency):
        raise ValueError(_OUT_OF_BOUNDS)
    # Built from text: unlike scaleb and quantize, that does not depend on the caller's decimal context.
    return Decimal(f"{minor}E-{minor_units(currency)}")


def in_currency(amount: Amount, currency: str) -> Decimal:
    """The same amount written with the currency's decimals, for JSON and pages. Raises ValueError rather than round."""
    return from_minor(to_minor(amount, currency), currency)
