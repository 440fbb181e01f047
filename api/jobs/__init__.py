"""Jobs: specs validated whole at submit, then followed by id."""
