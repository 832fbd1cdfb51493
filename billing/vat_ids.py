"""VAT numbers: whether one can be right, and the one form in which it is kept. Offline, by python-stdnum."""

from __future__ import annotations

from stdnum import get_cc_module, iban
from stdnum.exceptions import ValidationError as NotValid

from billing.rules.countries import EU

LONGEST = 30
_PREFIXES = {"GR": "EL"}
"""Of VAT numbers, where it is not the country's code."""


class WrongVatId(ValueError):
    """The number cannot be one of the country. The text says so to whoever typed it."""


def compact(country: str, number: str) -> str:
    """The number as it is kept: without spaces and signs, in the EU with its prefix. "" stays "".

    Checked by the country's own rule, check digits included; of a country whose rule is not known any number of
    letters and digits is taken. Raises WrongVatId.
    """
    typed = number.strip().upper()
    if not typed:
        return ""
    if not country:
        raise WrongVatId("Give the country of the VAT number as well.")
    module = get_cc_module(country.lower(), "vat")
    if module is None:
        return _of_letters_and_digits(typed)
    try:
        valid: str = module.validate(typed)
    except NotValid:
        raise WrongVatId(f"This is not a VAT number of {country}.") from None
    if country not in EU:
        return valid
    prefix = _PREFIXES.get(country, country)
    return prefix + valid.removeprefix(prefix)


def _of_letters_and_digits(typed: str) -> str:
    kept = "".join(typed.split()).replace("-", "").replace(".", "").replace("/", "")
    if not (kept.isascii() and kept.isalnum() and len(kept) <= LONGEST):
        raise WrongVatId(f"A VAT number is of letters and digits, {LONGEST} at most.")
    return kept


def compact_iban(number: str) -> str:
    """An IBAN without spaces; "" stays "". Raises ValueError for one whose check digits are wrong."""
    if not number.strip():
        return ""
    try:
        return str(iban.validate(number))
    except NotValid:
        raise ValueError("This is not an IBAN: check its digits.") from None
