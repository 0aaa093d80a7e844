"""Agarwala, Pedregosa and Pennington 2022: second-order regression models exhibit progressive sharpening."""
