package keys

// Reseal seals anew, with the current seal key, what an older one sealed for the
// same purpose and place. What the current one sealed stays as it is.
func (k *Keys) Reseal(purpose, place string, sealed []byte) ([]byte, error) {
	if k.Current(sealed) {
		return sealed, nil
	}
	plain, err := k.Open(purpose, place, sealed)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return k.Seal(purpose, place, plain)
}

// ResealTagKey is Reseal for what NewTagKey made.
func (k *Keys) ResealTagKey(sealed []byte) ([]byte, error) {
	return k.Reseal(tagPurpose, tagPlace, sealed)
}

// ResealCheckpointKey is Reseal for what NewCheckpointKey made for the name.
func (k *Keys) ResealCheckpointKey(name string, sealed []byte) ([]byte, error) {
	return k.Reseal(checkpointPurpose, name, sealed)
}
