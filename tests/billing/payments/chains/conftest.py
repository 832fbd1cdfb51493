from tests.chains import anvil, deployed, shop

__all__ = ["anvil", "deployed", "shop"]
