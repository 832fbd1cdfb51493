"""What an account may do now, as each worker remembers it; and whose key it is."""
