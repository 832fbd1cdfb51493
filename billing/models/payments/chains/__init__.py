"""Payments in stablecoins: which chains are read, where customers pay to, and what arrived there."""

from billing.models.payments.chains.chain import Chain, ChainCheckpoint, Token
from billing.models.payments.chains.deposits import DepositAddress, DepositKey, PaymentRequest
from billing.models.payments.chains.refunds import CryptoRefund
from billing.models.payments.chains.transfers import ChainTransfer, SeenTransfer, TransferCredit

__all__ = [
    "Chain",
    "ChainCheckpoint",
    "ChainTransfer",
    "CryptoRefund",
    "DepositAddress",
    "DepositKey",
    "PaymentRequest",
    "SeenTransfer",
    "Token",
    "TransferCredit",
]
