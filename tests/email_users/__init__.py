"""A product whose users have an e-mail address and no user name, by a model of its own; tests run it as a process."""
