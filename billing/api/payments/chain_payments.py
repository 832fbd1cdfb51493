"""Paying an invoice in a stablecoin over HTTP: what a wallet needs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers
from rest_framework.response import Response

from billing.api.sentences import to_customer
from billing.http.fields import MoneyField
from billing.http.problems import Problem
from billing.models import Invoice, Token
from billing.payments.chains import configuration, requests
from billing.payments.chains.refusals import ChainRefused
from billing.rules.money import in_currency

EXAMPLE = {
    "chain_id": 1,
    "chain": "Ethereum",
    "token": "usdc",
    "contract": "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
    "address": "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
    "amount": 29.00,
    "uri": "ethereum:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48@1/transfer"
    "?address=0x90F79bf6EB2c4f870365E785982E1f101E93b906&uint256=29000000",
    "qr": "<svg>…</svg>",
    "shown_until": "2025-10-17T09:30:00Z",
}


class TransferRequest(serializers.Serializer[Any]):
    chain_id = serializers.IntegerField(help_text="As EIP-155 has it.")
    chain = serializers.CharField(help_text="Its name.")
    token = serializers.CharField(help_text="Its code, as you named it.")
    contract = serializers.CharField(help_text="The token's. Another token pays nothing.")
    address = serializers.CharField(help_text="For this invoice alone; it stays so.")
    amount = MoneyField(help_text="What remains due, in the invoice's currency: the token is at par with it.")
    uri = serializers.CharField(help_text="For a wallet (EIP-681): token, chain, address and amount.")
    qr = serializers.CharField(help_text="The URI as a QR code, in SVG.")
    shown_until = serializers.DateTimeField(help_text="Ask again then. What comes later is credited all the same.")


@extend_schema_serializer(examples=[OpenApiExample("To be sent by a wallet", {"request": EXAMPLE})])
class TransferRequested(serializers.Serializer[Any]):
    request = TransferRequest()


def token_of(invoice: Invoice, named: str) -> Token | None:
    """Of those in which the invoice can be paid the one of that code, else the only one of that symbol; in any case."""
    payable, name = configuration.payable(invoice.currency), named.casefold()
    found = [token for token in payable if token.code.casefold() == name]
    found = found or [token for token in payable if token.symbol.casefold() == name]
    return found[0] if len(found) == 1 else None


def codes(invoice: Invoice) -> list[str]:
    """Of the tokens that the invoice can be paid in."""
    return [token.code for token in configuration.payable(invoice.currency)]


def request_transfer(invoice: Invoice, token: Token, now: datetime) -> Response:
    """201. Raises Problem `not_payable`."""
    try:
        asked = requests.request_payment(invoice, token, now)
    except ChainRefused as refused:
        raise Problem(409, "not_payable", to_customer(refused)) from None
    stands = requests.standing(asked)
    if not stands.to_send:
        raise Problem(409, "not_payable", "What is due is on its way. Look at the invoice again.")
    how = requests.instructions(asked, stands.to_send)
    body = {
        "chain_id": token.chain.chain_id,
        "chain": token.chain.name,
        "token": token.code,
        "contract": token.contract,
        "address": how.address,
        "amount": in_currency(how.amount, invoice.currency),
        "uri": how.uri,
        "qr": how.qr,
        "shown_until": how.shown_until,
    }
    return Response(TransferRequested({"request": body}).data, status=201)
