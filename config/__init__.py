"""The product around the three apps: settings, the HTTP surface, service keys, roles, the running stack."""
