// SPDX-License-Identifier: MIT
// Tokens of the test chain. How they are compiled: README.md beside this file.
pragma solidity ^0.8.24;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// A stablecoin as USDC is: a real ERC-20 with 6 decimals. Whoever asks gets some.
contract TestDollar is ERC20 {
    constructor(string memory name, string memory symbol) ERC20(name, symbol) {}

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function mint(address to, uint256 units) external {
        _mint(to, units);
    }

    /// Several transfers, and so several logs, in one transaction.
    function transferMany(address[] calldata to, uint256[] calldata units) external {
        for (uint256 i = 0; i < to.length; i++) {
            _transfer(msg.sender, to[i], units[i]);
        }
    }
}

/// Keeps a hundredth of each transfer, so that less arrives than was sent.
contract FeeDollar is TestDollar {
    address private constant COLLECTOR = address(0xfee);

    constructor() TestDollar("Fee Dollar", "FEE") {}

    function _update(address from, address to, uint256 units) internal override {
        uint256 fee = from == address(0) ? 0 : units / 100;
        super._update(from, to, units - fee);
        if (fee > 0) super._update(from, COLLECTOR, fee);
    }
}

/// Says that it moved something, and moves nothing. Bears the name of the real one.
contract LyingDollar {
    event Transfer(address indexed from, address indexed to, uint256 value);

    string public constant name = "Test Dollar";
    string public constant symbol = "USDC";
    uint8 public constant decimals = 6;

    function transfer(address to, uint256 units) external returns (bool) {
        emit Transfer(msg.sender, to, units);
        return true;
    }
}
