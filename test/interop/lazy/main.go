// Checks a table of contents with the reference library: compares it with what the library itself makes of the layer, and reads
// every file of the layer through it. Arguments: the layer, the table.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	"github.com/awslabs/soci-snapshotter/ztoc"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("arguments: LAYER ZTOC")
	}
	layer, table := args[0], args[1]
	ours, err := read(table)
	if err != nil {
		return err
	}
	theirs, err := ztoc.NewBuilder("reference").BuildZtoc(layer, 4<<20)
	if err != nil {
		return err
	}
	if err := compare(ours, theirs); err != nil {
		return err
	}
	files, err := extractAll(layer, ours)
	if err != nil {
		return err
	}
	fmt.Printf("%d files, %d spans\n", files, len(ours.SpanDigests))
	return nil
}

func read(path string) (*ztoc.Ztoc, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return ztoc.Unmarshal(file)
}

// The library computes header offsets on reading, and the table knows no owners' names.
func compare(ours, theirs *ztoc.Ztoc) error {
	if ours.Version != theirs.Version || ours.CompressedArchiveSize != theirs.CompressedArchiveSize ||
		ours.UncompressedArchiveSize != theirs.UncompressedArchiveSize {
		return fmt.Errorf("sizes differ: %v %v %v, not %v %v %v", ours.Version, ours.CompressedArchiveSize,
			ours.UncompressedArchiveSize, theirs.Version, theirs.CompressedArchiveSize, theirs.UncompressedArchiveSize)
	}
	if ours.MaxSpanID != theirs.MaxSpanID || !reflect.DeepEqual(ours.SpanDigests, theirs.SpanDigests) {
		return fmt.Errorf("spans differ: %d, not %d", ours.MaxSpanID, theirs.MaxSpanID)
	}
	if !bytes.Equal(ours.Checkpoints, theirs.Checkpoints) {
		return errors.New("checkpoints differ")
	}
	if len(ours.FileMetadata) != len(theirs.FileMetadata) {
		return fmt.Errorf("%d entries, not %d", len(ours.FileMetadata), len(theirs.FileMetadata))
	}
	for i, our := range ours.FileMetadata {
		their := theirs.FileMetadata[i]
		if !our.ModTime.Equal(their.ModTime) {
			return fmt.Errorf("%s: time %v, not %v", our.Name, our.ModTime, their.ModTime)
		}
		our.ModTime = their.ModTime
		if len(our.PAXHeaders) == 0 && len(their.PAXHeaders) == 0 {
			our.PAXHeaders = their.PAXHeaders
		}
		if !reflect.DeepEqual(our, their) {
			return fmt.Errorf("entry %d differs: %+v, not %+v", i, our, their)
		}
	}
	return nil
}

// Every file, read by the table, against the same file read from the start.
func extractAll(layer string, table *ztoc.Ztoc) (int, error) {
	blob, err := os.Open(layer)
	if err != nil {
		return 0, err
	}
	defer blob.Close()
	stat, err := blob.Stat()
	if err != nil {
		return 0, err
	}
	section := io.NewSectionReader(blob, 0, stat.Size())
	whole, err := os.Open(layer)
	if err != nil {
		return 0, err
	}
	defer whole.Close()
	inflated, err := gzip.NewReader(whole)
	if err != nil {
		return 0, err
	}
	archive := tar.NewReader(inflated)
	files := 0
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return files, err
		}
		if header.Typeflag != tar.TypeReg || header.Size == 0 {
			continue
		}
		expected, err := io.ReadAll(archive)
		if err != nil {
			return files, err
		}
		found, err := table.ExtractFile(section, header.Name)
		if err != nil {
			return files, fmt.Errorf("%s: %w", header.Name, err)
		}
		if !bytes.Equal(found, expected) {
			return files, fmt.Errorf("%s: other content", header.Name)
		}
		files++
	}
}
