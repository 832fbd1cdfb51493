"""Deposit addresses from an extended public key (BIP-32), as the operator's wallet derives them.

The libraries are imported where they are used: together they take a second, which a site without chains never waits.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from billing.models import Chain, DepositAddress, DepositKey, Invoice
from billing.payments.chains.configuration import xpub_of

if TYPE_CHECKING:
    from bip32 import BIP32

RECEIVING: Final = 0
"""The branch of an account that wallets receive on: m/44'/60'/account'/0."""
OF_AN_ACCOUNT, OF_A_BRANCH = 3, 4
"""Depths of a key: of an account, or of its receiving branch."""
LARGEST_INDEX: Final = 2**31 - 1


class NotAPublicKey(ValueError):
    """The text is no extended public key of an account. It is not repeated: it may be a private one."""


class NotAnAddress(ValueError):
    """Its text is `form` or `checksum`: what is wrong with it."""


def check_xpub(text: str) -> None:
    """Raises NotAPublicKey, of a private key above all."""
    _parsed(text)


def address_at(xpub: str, index: int) -> str:
    """The wallet's address of that index, with its checksum. Raises NotAPublicKey."""
    from coincurve import PublicKey
    from eth_utils.address import to_checksum_address
    from eth_utils.crypto import keccak

    key, path = _parsed(xpub)
    point = PublicKey(key.get_pubkey_from_path([*path, index])).format(compressed=False)
    return str(to_checksum_address(keccak(point[1:])[-20:]))


def checksummed(text: str) -> str:
    """An address with the checksum of EIP-55. Raises NotAnAddress, also for one whose letters have another checksum."""
    from eth_utils.address import is_checksum_address, is_hex_address, to_checksum_address

    if not text.startswith("0x") or not is_hex_address(text):
        raise NotAnAddress("form")
    has_checksum = text[2:] not in (text[2:].lower(), text[2:].upper())
    if has_checksum and not is_checksum_address(text):
        raise NotAnAddress("checksum")
    return str(to_checksum_address(text))


def give_out(chain: Chain, invoice: Invoice, now: datetime) -> DepositAddress:
    """The next address of the chain's key, for an invoice alone. The caller holds the account's lock."""
    key, _ = DepositKey.objects.get_or_create(xpub=xpub_of(chain), defaults={"chain": chain})
    key = DepositKey.objects.select_for_update(of=("self",), no_key=True).select_related("chain").get(pk=key.pk)
    if key.chain_id != chain.pk:  # its addresses would be those of the other chain
        raise NotAPublicKey(f"{key} serves another chain; give each chain a key of its own")
    index = key.next_index
    DepositKey.objects.filter(pk=key.pk).update(next_index=index + 1)
    address = address_at(key.xpub, index)
    return DepositAddress.objects.create(
        key=key, index=index, address=address, account_id=invoice.account_id, invoice=invoice, created_at=now
    )


@lru_cache(maxsize=64)
def _parsed(text: str) -> tuple[BIP32, list[int]]:
    """The key, and the path from it to the receiving branch."""
    from bip32 import BIP32

    if not text.startswith("xpub"):
        raise NotAPublicKey("give an extended public key, which begins with xpub; never a private one (xprv)")
    try:
        key = BIP32.from_xpub(text)
    except Exception:  # whatever the library says may repeat the key
        raise NotAPublicKey("the extended public key is damaged: copy it again from the wallet") from None
    if key.depth == OF_AN_ACCOUNT:
        return key, [RECEIVING]
    if key.depth == OF_A_BRANCH:
        return key, []
    raise NotAPublicKey("give the key of an account (m/44'/60'/0') or of its receiving branch (m/44'/60'/0'/0)")
