"""From sound files to batches: manifests, crops, augmentation."""
