"""About what a currency's major unit is worth: enough to tell a large invoice from a wrong one. No exchange rates."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from billing.rules.money import minor_units

_ABOUT: Final = {
    5: "AED AZN BAM BOB BRL CNY DKK FJD GEL GHS GTQ HKD ILS MOP MYR NOK PEN PGK PLN QAR RON SAR SEK TJS TMT TTD ZMW",
    20: "BWP BYN CZK EGP ERN HNL LSL MDL MRU MVR MXN MZN NAD NIO SCR SLE STN SZL THB TRY TWD UAH UYU VES ZAR",
    100: "AFN ALL BDT BTN CUP CVE DJF DOP DZD ETB GMD GYD HTG INR ISK JMD JPY KES KGS LKR LRD MKD MUR NPR PHP PKR RSD "
    "RUB SRD VUV XPF",
    500: "AMD CLP CRC HUF KMF KZT SDG SOS XAF XOF YER",
    1_000: "AOA ARS IQD KPW KRW MNT MWK NGN RWF",
    3_000: "BIF CDF COP MGA MMK TZS UGX",
    5_000: "GNF KHR PYG SSP",
    20_000: "IDR LAK SYP UZS VND",
    100_000: "IRR LBP",
}
PER_DOLLAR: Final[Mapping[str, int]] = MappingProxyType(
    {currency: units for units, currencies in _ABOUT.items() for currency in currencies.split()}
)


def per_dollar(currency: str) -> int:
    """About how many major units a US dollar is worth, 1 at least.

    Of a currency that is not listed, 1; where it has no minor unit, 100: its unit is about as small as a cent.
    """
    return PER_DOLLAR.get(currency, 1 if minor_units(currency) else 100)
