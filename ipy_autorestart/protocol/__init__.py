"""All that crosses a border: options, requests, messages, and the link that carries them."""
