"""What staff do to a subscription: each action shows what it would do first."""
