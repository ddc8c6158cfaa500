package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

var options []func(*sqs.Options) // of the client, such as another endpoint

// Your work. Here a message's body says how many seconds it takes.
func work(body string) error {
	fmt.Println("begun", body)
	seconds, err := strconv.ParseFloat(body, 64)
	if err != nil || seconds < 0 {
		return fmt.Errorf("%s is no number of seconds", body)
	}
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	fmt.Println("done", body)
	return nil
}

func main() {
	ctx := context.Background()
	leaving, cancel := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer cancel()
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	client := sqs.NewFromConfig(settings, options...)
	queue := os.Getenv("QUEUE_URL")

	for leaving.Err() == nil {
		// With ctx and not with leaving: what SQS has handed out by the time of SIGTERM must be returned.
		received, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &queue, MaxNumberOfMessages: 4, WaitTimeSeconds: 10,
		})
		if err != nil {
			log.Print(err)
			time.Sleep(time.Second)
			continue
		}
		for _, message := range received.Messages {
			if leaving.Err() != nil {
				_, err = client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
					QueueUrl: &queue, ReceiptHandle: message.ReceiptHandle, VisibilityTimeout: 0,
				})
			} else if err = work(*message.Body); err == nil {
				_, err = client.DeleteMessage(ctx, &sqs.DeleteMessageInput{
					QueueUrl: &queue, ReceiptHandle: message.ReceiptHandle,
				})
			}
			if err != nil {
				log.Print(err) // SQS delivers the message again, and in the end to the dead-letter queue.
			}
		}
	}
}
