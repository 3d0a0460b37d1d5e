"""Training the classifier: labelled faces -> augmentation -> cross-entropy; its evaluation and calibration."""
