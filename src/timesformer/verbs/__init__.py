"""One module for everything a user can ask for; its public function or class has its name."""
