"""What a wallet reads: an EIP-681 link that names chain, token, address and amount, and its QR code."""

from __future__ import annotations

import io


def transfer_uri(chain_id: int, contract: str, address: str, units: int) -> str:
    return f"ethereum:{contract}@{chain_id}/transfer?address={address}&uint256={units}"


def qr_svg(text: str) -> str:
    """A plain SVG, black on white, without styles or scripts, which scales to the width of its place."""
    import segno

    picture = io.BytesIO()
    code = segno.make(text, error="m", micro=False)
    code.save(picture, kind="svg", xmldecl=False, light="#fff", omitsize=True, svgclass=None, lineclass=None, border=4)
    return picture.getvalue().decode()
