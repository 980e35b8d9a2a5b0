"""The command line: each command reads its arguments, calls the public function of its verb, and shows what came."""
