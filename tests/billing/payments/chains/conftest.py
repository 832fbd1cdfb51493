from tests.chains import anvil, deployed, front, shop

__all__ = ["anvil", "deployed", "front", "shop"]
