"""Allure results of a flow."""
