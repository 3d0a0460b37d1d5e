"""Training the styles: photos and paintings -> perceptual loss -> one transform net; its evaluation."""
