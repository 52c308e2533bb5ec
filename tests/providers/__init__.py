"""Emulated providers of language models: one server on real sockets that speaks their three protocols."""
