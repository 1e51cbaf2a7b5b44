"""The same jobs in Penstock and in each peer: a module for each, and a program that sends them."""
