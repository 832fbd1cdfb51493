"""Members of an account: who may do what there, and how somebody becomes one."""
