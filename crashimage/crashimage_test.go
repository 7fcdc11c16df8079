package crashimage

import "testing"

func TestEveryImageOfAPowerCutIsRecoveredToWhatWasAcknowledged(t *testing.T) {
	images := 10_000
	if testing.Short() {
		images = 2_000
	}
	r := Run(t.Context(), Options{Images: images})
	if r.Violation != nil {
		t.Fatal(r.Violation)
	}
	if r.Images < images {
		t.Fatalf("only %d images", r.Images)
	}
	t.Log(r)
}
