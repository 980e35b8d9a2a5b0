"""What people type: flags by other programs' names, arguments in another order, and examples to type."""
