"""What a network has to beat: answers that need no network, of forecasts, examples and text."""
