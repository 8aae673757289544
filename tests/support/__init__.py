"""Helpers of the tests: servers, browsers, networks with known answers, a finished sweep."""
