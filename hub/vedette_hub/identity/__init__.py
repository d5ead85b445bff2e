"""Who may do what: roles, scopes, passwords, and attempts to guess them."""
