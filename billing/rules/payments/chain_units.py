"""Units of a token and money, at par: the smallest units that contracts count in, and the currency's minor units."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from billing.rules.money import from_minor, minor_units, to_minor


@dataclass(frozen=True, slots=True)
class TokenTerms:
    """How a token counts, and the currency that it is at par with."""

    decimals: int
    currency: str

    def worth(self, units: int) -> Decimal:
        """The money that so many units are: whole minor units, what is less is dropped until more comes.

        Raises ValueError for more than an amount of money can be.
        """
        if units < 0:
            raise ValueError("units of a token are not negative")
        surplus = self._surplus
        minor = units // _ten_to(surplus) if surplus >= 0 else units * _ten_to(-surplus)
        return from_minor(minor, self.currency)

    def units(self, amount: Decimal) -> int:
        """The least number of units that is worth the amount. Raises ValueError for one the currency cannot express."""
        minor, surplus = to_minor(amount, self.currency), self._surplus
        return minor * _ten_to(surplus) if surplus >= 0 else -(-minor // _ten_to(-surplus))

    def shown(self, units: int) -> str:
        """As wallets show it: 29.5 for 29500000 units of 6 decimals."""
        whole, rest = divmod(units, _ten_to(self.decimals))
        fraction = f"{rest:0{self.decimals}d}".rstrip("0") if rest else ""
        return f"{whole}.{fraction}" if fraction else str(whole)

    @property
    def _surplus(self) -> int:
        """Decimals that the token has beyond the currency's; below 0 where it has fewer."""
        return self.decimals - minor_units(self.currency)


def _ten_to(power: int) -> int:
    return int("1" + "0" * power)
