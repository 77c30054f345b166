package pipeline

// SetupSource writes the example list into dir, as the source of a list called origin ("" takes the example's), and
// returns the name. What is there stays where the example has no file of that name.
func SetupSource(dir, origin string) (string, error) {
	settings, origin, err := exampleSettings(origin)
	if err != nil {
		return "", err
	}
	return origin, writeExample(dir, settings)
}
