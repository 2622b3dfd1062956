"""Running test suites that this project did not write, plain and with CSE."""
