"""The flow in Allure results."""
