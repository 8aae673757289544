"""The report as one HTML page: plain data for the templates, a module a part of the page."""
